"""A name in a template that the run does not have fails the task at once: no retry would find it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    _Operator = BaseOperator
else:
    _Operator = object

# Of a run without a logical date Airflow 3 has none of these.
_OF_A_DATE = ("'ds", "'ts", "'logical_date'", "'data_interval_", "'prev_", "'execution_date'")


class DefinedNames(_Operator):
    """An operator whose templates must name what there is. A mix-in."""

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render; mapped tasks, too, come here."""
        try:
            super()._do_render_template_fields(*args, **kwargs)
        except Exception as error:
            from jinja2 import UndefinedError

            if not isinstance(error, UndefinedError):
                raise
            hint = ""
            if str(error).startswith(_OF_A_DATE):
                hint = "; a run without a logical date has only `dag_run.run_after`: trigger it with one, or use that"
            raise AirflowFailException(
                f"A template in the task's arguments cannot be rendered: {error}{hint}"
            ) from None
