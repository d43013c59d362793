"""The actions that the platform documents, each with its group and channel.

Source: the list "Profile history events (action)" of the platform's page on ``subscribers/history_get``. It is an open
set: later versions of the platform send others, so a row's ``action`` is any string and is never refused.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ActionGroup(StrEnum):
    """The headings under which the platform documents its actions."""

    EMAIL = "email"
    SMS = "sms"
    PUSH = "push"
    TELEGRAM_BOT = "telegram_bot"
    WHATSAPP = "whatsapp"
    VIBER = "viber"
    ALL_CHANNELS = "all_channels"
    IMPORT = "import"
    UNSUBSCRIBE = "unsubscribe"
    PIXEL = "pixel"
    PROMOCODE = "promocode"
    SEGMENT = "segment"
    RELATION = "relation"
    FORM = "form"


class Action(StrEnum):
    """A documented action; compares equal to the row's string."""

    SEND = "send"
    DELIV = "deliv"
    UNDELIV = "undeliv"
    OPEN = "open"
    READ = "read"
    CLICK = "click"
    CONFIRM = "confirm"
    SUBSCRIBE_EMAIL = "subscribe_email"
    UNSUBSCRIBE_EMAIL = "unsubscribe_email"
    REPLY = "reply"
    COMPLAIN = "complain"
    HBOUNCE = "hbounce"

    SEND_SMS = "send_sms"
    DELIV_SMS = "deliv_sms"
    UNDELIV_SMS = "undeliv_sms"
    CLICK_SMS = "click_sms"
    SUBSCRIBE_SMS = "subscribe_sms"
    UNSUBSCRIBE_SMS = "unsubscribe_sms"

    SEND_PUSH = "send_push"
    DELIV_PUSH = "deliv_push"
    OPEN_PUSH = "open_push"
    CLICK_PUSH = "click_push"
    UNDELIV_PUSH = "undeliv_push"
    SUBSCRIBE_PUSH = "subscribe_push"
    UNSUBSCRIBE_PUSH = "unsubscribe_push"

    TELEGRAM_BOT_SEND = "telegram_bot_send"
    TELEGRAM_BOT_DELIV = "telegram_bot_deliv"
    TELEGRAM_BOT_UNDELIV = "telegram_bot_undeliv"
    TELEGRAM_BOT_CLICK = "telegram_bot_click"
    TELEGRAM_BOT_SUBSCRIBE = "telegram_bot_subscribe"

    WHATSAPP_SEND = "whatsapp_send"
    WHATSAPP_DELIV = "whatsapp_deliv"
    WHATSAPP_UNDELIV = "whatsapp_undeliv"
    WHATSAPP_CLICK = "whatsapp_click"
    WHATSAPP_READ = "whatsapp_read"
    WHATSAPP_SUBSCRIBE = "whatsapp_subscribe"

    VIBER_SEND = "viber_send"
    VIBER_DELIV = "viber_deliv"
    VIBER_UNDELIV = "viber_undeliv"
    VIBER_CLICK = "viber_click"
    VIBER_READ = "viber_read"
    VIBER_SUBSCRIBE = "viber_subscribe"

    OFFENCE = "offence"
    SUPPRESS = "suppress"

    IMPORT_MANUAL = "import_manual"
    IMPORT_API = "import_api"
    IMPORT_FILE = "import_file"
    IMPORT_FORM = "import_form"
    IMPORT_PUSH = "import_push"
    IMPORT_POPUP = "import_popup"

    UNSUB_API = "unsub_api"
    UNSUB_MANUAL = "unsub_manual"

    PIXEL_OPEN = "pixel_open"

    PROMOCODE_ATTACH = "promocode_attach"
    PROMOCODE_DETACH = "promocode_detach"
    PROMOCODE_ACTIVATE = "promocode_activate"

    SEGS_ADD = "segs_add"
    SEGS_REMOVE = "segs_remove"

    REL_ATTACH = "rel_attach"
    REL_DETACH = "rel_detach"
    REL_STRENGTHEN = "rel_strengthen"

    FORM_LOAD = "form_load"
    FORM_PAGE_SHOW = "form_page_show"
    FORM_POST = "form_post"
    FORM_ABANDON = "form_abandon"
    FORM_BOUNCE = "form_bounce"

    @property
    def group(self) -> ActionGroup:
        """The heading under which the platform documents it."""
        return _GROUPS[self]

    @property
    def channel(self) -> str | None:
        """The channel it belongs to, in the words of a row's ``channel``; ``None`` for what has no channel.

        Only ``email`` is confirmed by a sample of the platform's; the others follow the names of the actions.
        """
        return self.group.value if self.group in _CHANNELS else None


_CHANNELS: Final = frozenset(
    {
        ActionGroup.EMAIL,
        ActionGroup.SMS,
        ActionGroup.PUSH,
        ActionGroup.TELEGRAM_BOT,
        ActionGroup.WHATSAPP,
        ActionGroup.VIBER,
    }
)


def _group(action: Action) -> ActionGroup:
    """Return the group of an action, with which its name begins or ends; names without one are of e-mail."""
    starts = {
        "telegram_bot_": ActionGroup.TELEGRAM_BOT,
        "whatsapp_": ActionGroup.WHATSAPP,
        "viber_": ActionGroup.VIBER,
        "import_": ActionGroup.IMPORT,
        "unsub_": ActionGroup.UNSUBSCRIBE,
        "pixel_": ActionGroup.PIXEL,
        "promocode_": ActionGroup.PROMOCODE,
        "segs_": ActionGroup.SEGMENT,
        "rel_": ActionGroup.RELATION,
        "form_": ActionGroup.FORM,
    }
    for prefix, group in starts.items():
        if action.startswith(prefix):
            return group
    if action in {Action.OFFENCE, Action.SUPPRESS}:
        return ActionGroup.ALL_CHANNELS
    if action.endswith("_sms"):
        return ActionGroup.SMS
    if action.endswith("_push"):
        return ActionGroup.PUSH
    return ActionGroup.EMAIL


_GROUPS: Final = {action: _group(action) for action in Action}

CHANNELS: Final[dict[str, str | None]] = {action.value: action.channel for action in Action}
"""Channel of each documented action, by the row's string."""
