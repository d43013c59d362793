"""Fails a task at once for an undefined name in a template, which no retry would define."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowFailException

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    _Operator = BaseOperator
else:
    _Operator = object

# Airflow 3 defines none of these in a run without a logical date.
_OF_A_DATE = ("'ds", "'ts", "'logical_date'", "'data_interval_", "'prev_", "'execution_date'")


class DefinedNames(_Operator):
    """A mix-in for an operator whose templates must use defined names only."""

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render the fields; also called for mapped tasks."""
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
