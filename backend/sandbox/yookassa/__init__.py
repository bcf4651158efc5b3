"""YooKassa's API v3 at `/yookassa/v3`, its payment page, and `/yookassa/_…` to direct it all.

    POST _clock         {seconds}                       let time pass
    POST _pay/ID        {card?, agrees?}                a person pays; a pending charge succeeds
    POST _decline/ID    {reason}                        a person or a bank declines
    POST _charges       {method?, reason?, pending?}    how charges of saved methods end
    POST _refunds       {reason?, pending?}             how refunds end
    POST _settle/ID     {reason?}                       end a pending refund
    POST _notifications {url, headers?, mode?, times?}  how they leave: send, hold or drop
    GET  _notifications                                 that, what waits, and what was sent
    POST _flush         {order?, times?, senders?}      send what waits: made, reversed, shuffled
    POST _forge         {event, object}                 send what is not true
    GET  _books                                         each payment and what became of its money
    POST _reset                                         nothing ever happened; the clock stays

Where no reason is given it ends well. Of an ordered fault, `"heard": true` or `false` says
whether the deed was done all the same.

https://yookassa.ru/developers/api
"""

from sandbox.yookassa.service import build_service
from sandbox.yookassa.till import YooKassa

__all__ = ["YooKassa", "build_service"]
