"""Renders the arguments of operators and sensors: templates, outputs of earlier tasks, and callables, at any depth.

It differs from Airflow in three ways, for mapped tasks too. Airflow finds outputs of earlier tasks in an operator's
fields and collections only, not within objects such as a target; with ``render_template_as_native_obj`` it reads texts
as Python literals; and it lets a template render to nothing.
"""

from __future__ import annotations

import ast
import copy
import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider.altcraft._airflow.instance_names import TEMPLATE
from airflow_provider.altcraft._arguments import bound, is_function, is_nothing, is_reference, is_template, ordered

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import BaseOperator, Context

    _Operator = BaseOperator
else:
    _Operator = object

LAZY = frozenset({"profile", "profiles"})
"""Fields whose callables the task itself calls: their values may be too large to keep."""


class RenderedOperator(_Operator):
    """A mix-in for an operator whose arguments are rendered as this module says."""

    _mapped_to_none: frozenset[str] = frozenset()
    _gave_nothing: str | None = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Make an operator; of an instance of a mapped task, note the arguments that were given as ``None``."""
        made = super().__new__(cls)
        if kwargs.get("_airflow_from_mapped"):
            none = frozenset(name for name, value in kwargs.items() if value is None)
            made.__dict__["_mapped_to_none"] = none & frozenset(cls.template_fields)
        return made

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin a mapped task that also depends on outputs within objects."""
        fields = {name: ordered(value) for name, value in kwargs.items() if name in cls.template_fields}
        made = super().partial(**kwargs | fields)
        kind: Any = type(made)
        made.__class__ = _following(kind)
        return made

    @classmethod
    def check_mapped(cls, constants: Mapping[str, Any], over: frozenset[str] | None) -> None:
        """Check a mapped task when the DAG file is parsed; for subclasses.

        Args:
            constants: the arguments that all instances share.
            over: the names of the other arguments; ``None`` where an earlier task gives them.

        Raises:
            ValueError: its instances cannot work together.
        """

    def _set_xcomargs_dependencies(self) -> None:
        """Set upstream tasks. Airflow 3 calls it once the operator is made, for one that is not mapped."""
        super()._set_xcomargs_dependencies()
        self._follow_fields()

    def _set_xcomargs_dependency(self, field: str, newvalue: Any) -> None:
        """Set upstream tasks. Airflow 3 calls it where a field is assigned to later."""
        super()._set_xcomargs_dependency(field, newvalue)
        follow(self, {field: newvalue})

    def set_xcomargs_dependencies(self) -> None:
        """Set upstream tasks. Airflow 2 calls it in both cases."""
        super().set_xcomargs_dependencies()  # type: ignore[misc]
        self._follow_fields()

    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        """Render the fields of this operator, or of an object within them; also called for mapped tasks."""
        if parent is not self:
            for name in template_fields:
                _set(parent, name, self._render_field(getattr(parent, name), context, jinja_env, seen_oids))
            return
        self._gave_nothing = None
        for name in sorted(self._outputs_that_are_none(context)):
            self._note_nothing(name, "the output of an earlier task that it is mapped over")
        given = frozenset(seen_oids)  # what earlier tasks gave a mapped one; rendering adds to it
        unshared = _Unshared()
        for name in template_fields:
            value = getattr(self, name)
            if id(value) in given:
                continue
            if name in LAZY and is_function(value):
                setattr(self, name, bound(value, name, context=context, jinja_env=jinja_env))
                continue
            try:
                setattr(self, name, self._render_field(unshared.of(value), context, jinja_env, seen_oids))
            except _NothingError as error:
                self._note_nothing(name, error)

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render a value; templates, their expressions and outputs of earlier tasks must not be ``None``."""
        env = _without_none(jinja_env or self.get_template_env())
        try:
            rendered = super().render_template(content, context, env, seen_oids)
        except _NoneError:
            raise _NothingError(repr(str(content))) from None
        is_one = is_reference(content) or (isinstance(content, str) and is_template(content))
        if is_one and is_nothing(rendered):
            raise _NothingError(repr(str(content)))
        return rendered

    def _render(self, template: jinja2.Template, context: Context, dag: Any = None) -> Any:
        """Render one template; values of expressions keep their type, and texts stay texts, natively too."""
        from jinja2 import Undefined

        nodes = _nodes(template, context)
        rendered = nodes[0] if len(nodes) == 1 else "".join(map(str, nodes))
        return str(rendered) if isinstance(rendered, Undefined) else rendered

    def _follow_fields(self) -> None:
        for name in self.template_fields:
            value = getattr(self, name, None)
            if isinstance(value, set | frozenset):
                setattr(self, name, ordered(value))
        follow(self, {name: getattr(self, name, None) for name in self.template_fields})

    def _render_field(self, value: Any, context: Context, jinja_env: jinja2.Environment, seen_oids: set[int]) -> Any:
        if is_function(value):
            return value(context=context, jinja_env=jinja_env)
        rendered = self.render_template(value, context, jinja_env, seen_oids)
        if isinstance(value, str) and isinstance(rendered, str) and is_template(value) and self._is_native(jinja_env):
            return _collection_of(rendered)
        return rendered

    def _is_native(self, jinja_env: jinja2.Environment) -> bool:
        from jinja2.nativetypes import NativeEnvironment

        return isinstance(jinja_env, NativeEnvironment) or bool(getattr(self, "render_template_as_native_obj", False))

    def _outputs_that_are_none(self, context: Context) -> frozenset[str]:
        """Return the arguments of an instance of a mapped task for which an earlier task's output is ``None``."""
        if not self._mapped_to_none:
            return frozenset()
        mapped: Any = self.get_dag().get_task(self.task_id)  # type: ignore[union-attr]
        given = mapped.expand_input.value
        if isinstance(given, Mapping):
            return self._mapped_to_none & {name for name, value in given.items() if is_reference(value)}
        each = given if is_reference(given) else given[context["ti"].map_index]
        return self._mapped_to_none - set(mapped.partial_kwargs) if is_reference(each) else frozenset()

    def _note_nothing(self, name: str, what: object) -> None:
        """Keep the error for ``check_rendered``, so that the task fails as for other wrong arguments."""
        self._gave_nothing = self._gave_nothing or (
            f"{name}: expected a value, but {what} gave nothing. Let it give one; only None in the DAG file itself "
            f"leaves an argument out"
        )

    def check_rendered(self) -> None:
        """Refuse to run where a template, or an earlier task's output, gave nothing.

        Raises:
            ValueError: the message names the argument.
        """
        if self._gave_nothing:
            raise ValueError(self._gave_nothing)


def follow(task: Any, fields: Mapping[str, Any]) -> None:
    """Set the tasks upstream whose outputs are in these fields, at any depth.

    Raises:
        ValueError: an output is where Airflow would not fill it in; the message names the place.
    """
    for name, value in fields.items():
        for place, leaf, is_rendered in _leaves(value, name):
            if not is_reference(leaf):
                continue
            if not is_rendered:
                raise ValueError(
                    f"{place}: expected a value known when the DAG file is parsed, got the output of an earlier task "
                    f"({leaf}), which Airflow cannot fill in here; an object's template_fields name where it can"
                )
            for operator, _ in leaf.iter_references():
                if operator.node_id not in task.upstream_task_ids:
                    task.set_upstream(operator)


def is_of_several(task: Any, name: str, context: Any) -> bool:
    """Return whether an earlier task gives the same value to several instances of a mapped task or group."""
    if getattr(context.get("ti"), "map_index", -1) in {-1, None}:
        return False
    parsed = task.get_dag().get_task(task.task_id)
    expand_input, key = getattr(parsed, "expand_input", None), name
    if expand_input is None:  # in a group, the arguments are references of another class
        argument = getattr(parsed, name, None)
        expand_input, key = getattr(argument, "_input", None), getattr(argument, "_key", name)
    given: Any = getattr(expand_input, "value", None)
    if is_reference(given):
        values = [each.get(key) for each in given.resolve(context) if isinstance(each, Mapping)]
    elif isinstance(given, Mapping) and is_reference(given.get(key)):
        values = list(given[key].resolve(context))
        others = (value for other, value in given.items() if other != key)
        if any(len(value.resolve(context) if is_reference(value) else value) > 1 for value in others):
            values *= 2  # each is given with each of them
    else:
        return False
    return values.count(getattr(task, name)) > 1


class _NothingError(ValueError):
    """A template or an output gave nothing."""


class _NoneError(ValueError):
    """An expression of a template gave ``None``."""


def _without_none(env: jinja2.Environment) -> jinja2.Environment:
    """Return the environment without ``None`` in expressions, which would become the text "None"."""
    return env if env.finalize else env.overlay(finalize=_not_none)


def _not_none(value: Any) -> Any:
    if value is None:
        raise _NoneError
    return value


class _Unshared:
    """Copies of objects with something to render: Airflow renders in place, and runs may share the objects."""

    def __init__(self) -> None:
        self._copies: dict[int, Any] = {}

    def of(self, value: Any) -> Any:
        """Return the value with such objects copied, and collections of the classes that Airflow renders."""
        if isinstance(value, Mapping):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, frozenset):
            return {self.of(item) for item in value}
        if type(value) in {list, tuple, set}:
            return type(value)(map(self.of, value))
        if not _has_fields(value) or not any(
            _needs_rendering(leaf) for _, leaf, rendered in _leaves(value) if rendered
        ):
            return value
        if id(value) not in self._copies:
            self._copies[id(value)] = own = copy.copy(value)
            for name in value.template_fields:
                _set(own, name, self.of(getattr(value, name)))
        return self._copies[id(value)]


def _leaves(value: Any, place: str = "", is_rendered: bool = True, seen: frozenset[int] = frozenset()) -> Iterator[Any]:
    """Yield the place of each value within a value, the value, and whether Airflow renders it."""
    if id(value) in seen:
        return
    inner = seen | {id(value)}
    if is_reference(value):
        yield place, value, is_rendered
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(key, f"{place}: key", False, inner)
            yield from _leaves(item, f"{place}[{key!r}]", is_rendered, inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{place}[{index}]", is_rendered, inner)
    elif isinstance(value, functools.partial):
        yield from _leaves([*value.args, *value.keywords.values()], place, False, inner)
    elif _has_fields(value):
        fields = {name: getattr(value, name, None) for name in value.template_fields}
        for name, item in fields.items():
            yield from _leaves(item, f"{place}.{name}", is_rendered, inner)
        for name in dict.fromkeys(_attributes(value)):
            item = getattr(value, name, None)
            # A field that is a property keeps its value under another name.
            if name not in fields and not any(item is each for each in fields.values()):
                yield from _leaves(item, f"{place}.{name}", False, inner)
    else:
        yield place, value, is_rendered


def _attributes(value: object) -> Iterator[str]:
    yield from getattr(value, "__dict__", {})
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _set(value: object, name: str, item: object) -> None:
    """Assign to a field, of a frozen dataclass too."""
    try:
        setattr(value, name, item)
    except AttributeError:
        object.__setattr__(value, name, item)


def _has_fields(value: object) -> bool:
    """Return whether it is an object with fields that Airflow renders, such as a target."""
    return hasattr(value, "template_fields") and not hasattr(value, "task_id") and not isinstance(value, type)


def _needs_rendering(value: object) -> bool:
    return is_template(value) or is_function(value)


def _nodes(template: jinja2.Template, context: Any) -> list[Any]:
    """Return the values of a template's expressions and texts, without Airflow's conversion to literals."""
    env = template.environment
    found = copy.copy(context)  # a mapping of Airflow's own, whose values are made when they are asked for
    found.update((name, value) for name, value in template.globals.items() if name not in found)
    # Errors leave as they are: Jinja's way to have them point to the template fails on Airflow 2's context.
    return list(template.root_render_func(env.context_class(env, found, template.name, template.blocks)))


def _collection_of(text: str) -> Any:
    """Return the list, tuple, set or mapping that a text is the literal of; any other text as it is."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, list | tuple | set | dict) else text


def _shared(given: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and value of each mapped constant that several instances share."""
    if isinstance(given, Mapping):  # each value of one argument with each of all others
        several = {name for name, values in given.items() if is_reference(values) or len(values) > 1}
        for name, values in given.items():
            if several - {name} and isinstance(values, list | tuple):
                yield from ((name, value) for value in values)
    elif not is_reference(given):
        seen = set()
        for each in given:
            for name, value in each.items() if isinstance(each, Mapping) else ():
                if (what := (name, repr(value))) in seen:
                    yield name, value
                seen.add(what)


@functools.cache
def _following(kind: type) -> type:
    """Return a subclass of Airflow's partial operator whose mapped tasks depend on outputs within objects."""

    class Following(kind):  # type: ignore[misc]
        __slots__ = ()

        def _expand(self, expand_input: Any, **how: Any) -> Any:
            task = super()._expand(expand_input, **how)
            if task.map_index_template is None and hasattr(self.operator_class, "instance_name"):
                task.partial_kwargs["map_index_template"] = TEMPLATE
            given = expand_input.value
            mapped = [given] if isinstance(given, Mapping) or is_reference(given) else list(given)
            partial = {name: value for name, value in self.kwargs.items() if name in task.template_fields}
            follow(task, partial)
            for each in mapped:
                if isinstance(each, Mapping):
                    follow(task, {name: value for name, value in each.items() if name in task.template_fields})
            is_known = all(isinstance(each, Mapping) for each in mapped)
            over = frozenset(name for each in mapped for name in each) if is_known else None
            self.operator_class.check_mapped(partial, over)
            for name, value in _shared(given):
                self.operator_class.check_mapped({name: value}, None if over is None else over - {name})
            return task

    return Following
