"""The page where a person pays or declines, in place of YooKassa's own."""

from html import escape

from sandbox.yookassa.objects import CARDS, REASONS, Payment

STYLE = """
:root { color-scheme: light dark; --line: #8884; --accent: #0b6e4f; }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem;
  font: 16px/1.5 system-ui, sans-serif; background: Canvas; color: CanvasText; }
main { width: 100%; max-width: 26rem; border: 1px solid var(--line); border-radius: 1rem;
  padding: 1.5rem; }
p { margin: 0 0 1rem; overflow-wrap: anywhere; }
main > :last-child { margin-bottom: 0; }
h1 { font-size: 2.25rem; line-height: 1.2; margin: 0 0 .25rem; font-variant-numeric: tabular-nums; }
.quiet { font-size: .875rem; opacity: .75; }
form { display: grid; gap: .5rem; margin: 1rem 0; }
form + form { border-top: 1px solid var(--line); padding-top: 1rem; }
label { display: grid; gap: .25rem; font-size: .875rem; }
label.check { grid-template-columns: auto 1fr; align-items: center; gap: .5rem; }
select, button { font: inherit; min-height: 2.75rem; padding: .5rem .75rem; border-radius: .5rem;
  border: 1px solid var(--line); background: transparent; color: inherit; width: 100%; }
option { color: initial; }
button { cursor: pointer; }
button.main { background: var(--accent); border-color: var(--accent); color: #fff; font-weight: 600;
  margin-top: .5rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""

STATES = {
    "pending": "The bank has not decided yet",
    "waiting_for_capture": "Paid; the shop has yet to collect the money",
    "succeeded": "Paid",
    "canceled": "Not paid",
}


def show_page(payment: Payment) -> str:
    """The payment with what a person can do about it; where it has ended, how."""
    amount = f"{payment.wish.amount:,.2f}".replace(",", " ")
    waits = payment.status == "pending" and payment.method is None
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Payment of {amount} ₽</title>
<style>{STYLE}</style>
<main>
<p class="quiet">Stand-in for YooKassa: no money moves here</p>
<h1>{amount}&nbsp;₽</h1>
<p>{escape(payment.wish.description or "A payment")}</p>
{_choices(payment) if waits else _end(payment)}
<p class="quiet">Payment {payment.id}</p>
</main>
"""


def _choices(payment: Payment) -> str:
    cards = "".join(
        f'<option value="{number}">{_spaced(number)} · {escape(_told(reason) or "pays")}</option>'
        for number, reason in CARDS.items()
    )
    reasons = "".join(
        f'<option value="{reason}"{" selected" if reason == "general_decline" else ""}>'
        f"{escape(_told(reason))}</option>"
        for reason in REASONS
    )
    agreement = (
        '<label class="check"><input type="checkbox" name="agrees" checked>'
        "The shop may charge this card again</label>"
        if payment.wish.save
        else ""
    )
    return f"""<form method="post">
<label>Card <select name="card">{cards}</select></label>
{agreement}
<button class="main" name="action" value="pay">Pay</button>
</form>
<form method="post">
<label>Reason <select name="reason">{reasons}</select></label>
<button name="action" value="decline">Decline</button>
</form>"""


def _end(payment: Payment) -> str:
    reason = _told((payment.cancellation or {}).get("reason", ""))
    text = STATES[payment.status] + (f": {reason}" if reason else "")
    back = payment.wish.return_url
    link = f'<p><a href="{escape(back)}">Back to the shop</a></p>' if back else ""
    return f"<p><strong>{escape(text)}</strong></p>{link}"


def _spaced(number: str) -> str:
    return " ".join(number[start : start + 4] for start in range(0, len(number), 4))


def _told(reason: str) -> str:
    return reason.replace("_", " ")
