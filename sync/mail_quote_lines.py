"""What kind each line of a mail's text is: the words that mail programs put before what they quote, and after a mail.

Each look is at a few lines, and at the beginning of each, so that all of them take linear time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

LINE = 300  # characters of a line that are looked at
SPAN = 6  # lines that "On … wrote:" may take, as mail programs break it
HEADER_SPAN = 10  # lines in which a quoted header must show what it is


class Kind(Enum):
    BLANK = "BLANK"
    TEXT = "TEXT"
    QUOTE = "QUOTE"  # begins with `>`, or with somebody's initials and `>`
    WROTE = "WROTE"  # "On … somebody wrote:"
    HEADER = "HEADER"  # the header of the mail that follows, or a line that says that one follows
    RULE = "RULE"  # a line across


QUOTE = re.compile(r"\s{0,3}(?:[A-Za-z]{1,3})?>")
# The last is what a program that counts readers leaves behind.
RULE = re.compile(r"[\s\-_=~*#+\u2013\u2014\u1427]*[\-_=~*#+\u2013\u2014\u1427][\s\-_=~*#+\u2013\u2014\u1427]*")

# The verb of "On … somebody wrote:", as mail programs say it.
VERB = re.compile(
    r"\b(?:wrote|writes|schrieb|schreef|geschreven|a [ée]crit|escribi[óo]|escreveu|ha scritto|scrisse|skrev"
    r"|napisa[łl](?:\(a\)|a)?|pisze|kirjoitti|yazd[ıi]|[íi]rta|napsala?|nap[íi]sala?|a scris|написала?|написав|пише"
    r"|пишет|писал\(а\)|έγραψε|כתב|kirjutas|rašė|rakstīja|viết|menulis)"
    r"|写道|寫道|書きました|のメール|님이 작성|작성"
)
# The same without a verb, or with one that is said elsewhere too: date, name and address, as Gmail puts them.
SENT_BY = re.compile(
    r"\W{0,4}(?:\d{4}年\d{1,2}月\d{1,2}日\s?\(\w\)\s\d{1,2}:\d{2}\s"
    r"|(?:пн|вт|ср|чт|пт|сб|вс),\s\d{1,2}\s\w{3,8}\.?\s\d{4}\sг\.\sв\s\d{1,2}:\d{2},\s"
    r"|في\s.{4,60}\sتمت كتابة ما يلي بواسطة\s"
    r"|בתאריך\s.{4,60}\sמאת\s)"
    r".{0,200}<\s?[^<>\s]+@[^<>\s]+>\W{0,3}$"
)
DATE = re.compile(r"(?:\d+\D{1,40}){2}|\d{4}年")
END = re.compile(r"[:：]\W*$|-{2,}\W*$")
# Where such a sentence begins, if other lines before it have numbers too.
OPENING = re.compile(r"\W{0,4}(?:on|at|le|am|el|il|op|em|den|dnia|w dniu|pe|в|在|於)\b", re.IGNORECASE)
# A date, perhaps a zone, then a name and an address: what some programs put there without a verb.
DATED = re.compile(r"\s*\d{4}[-/]\d{1,2}[-/]\d{1,2}\s(?:\d{1,2}:\d{2}\sGMT[+-]\d|.{0,100}<)")

FORWARDED = re.compile(
    r"\W{2,60}(?:(?:original|forwarded) (?:message|mail|e-mail)"
    r"|(?:urspr[üu]ngliche|weitergeleitete) (?:nachricht|mail)|mensaje (?:original|reenviado)"
    r"|mensagem (?:original|encaminhada)|message (?:d'origine|original|transf[ée]r[ée])"
    r"|messaggio (?:originale|inoltrato)"
    r"|oorspronkelijk bericht|doorgestuurd bericht|ursprungligt meddelande|oprindelig meddelelse|opprinnelig melding"
    r"|wiadomość oryginalna|oryginalna wiadomość|(?:исходное|пересылаемое) сообщение|原始邮件|原始郵件|转发的邮件"
    r"|元のメッセージ|원본 메시지)\b\W{2,60}$"
    r"|[\s>*]{0,4}(?:begin forwarded message|anfang der weitergeleiteten (?:nachricht|e-mail)"
    r"|d[ée]but du message transf[ée]r[ée]"
    r"|inicio del mensaje reenviado|inizio messaggio inoltrato|begin doorgestuurd bericht)\s?:\s*$",
    re.IGNORECASE,
)

FIELD = re.compile(r"[\s*_]{0,6}([^\W\d][\w\s.-]{0,24}?)[\s*_]{0,4}[:：]")
SENDER = {
    "from", "von", "de", "da", "van", "från", "fra", "od", "от", "від", "lähettäjä", "kimden", "feladó",
    "发件人", "寄件者", "差出人", "보낸 사람", "expéditeur", "remitente", "mittente",
}  # fmt: skip
SUBJECT = {
    "subject", "betreff", "asunto", "objet", "oggetto", "assunto", "onderwerp", "ämne", "emne", "temat", "тема", "konu",
    "aihe", "předmět", "subiect", "tárgy", "主题", "主旨", "件名", "제목",
}  # fmt: skip

MOBILE = re.compile(
    r"\W{0,4}(?:(?:sent|written) (?:from|via|with|by|using)\b|get \W?outlook for\b|(?:\w+ )?from (?:my )?"
    r"(?:mobile|cell|phone|iphone|ipad|android)\b"
    r"|(?:von|diese nachricht wurde von) mein\w{1,2} .{1,60} (?:gesendet|aus)"
    r"|gesendet (?:von|mit|über|aus)\b|envoy[ée] (?:de|depuis|à partir)\b|enviado (?:desde|do|da|a partir|via)\b"
    r"|inviato (?:da|dal|con|tramite)\b|verzonden (?:met|vanaf|via|door)\b|verstuurd (?:vanaf|met|via)\b"
    r"|sendt fra\b|skickat från\b|wysłan[eo] z\b|отправлено (?:с|из)\b|надіслано з\b|lähetetty\b|从我的|從我的|发自我的"
    r"|發自我的|(?:iphone|ipad|android)\w{0,8}から送信"
    r"|(?:outlook für (?:ios|android) herunterladen|(?:obtenir|télécharger) outlook pour|obtener outlook para"
    r"|(?:ottieni|scarica) outlook per|(?:download|haal) outlook voor|(?:obter|obtenha) o outlook para"
    r"|(?:pobierz|uzyskaj) \w+ outlook dla|(?:скачать|получить) outlook для|skaffa outlook för|hent outlook (?:til|for)"
    r"|(?:下载|获取|取得) ?outlook)\b"
    r"|(?:trimis de pe|odesláno z|odoslané z|dikirim dari|đã gửi từ|enviat des de|στάλθηκε από|נשלח מ|أُ?رسلت من"
    r"|تم الإرسال من).{0,30}(?:iphon|ipad|android|galaxy)"
    r"|.{0,20}(?:iphone|ipad|android|galaxy).{0,12}(?: gönderildi| küldve|에서 보냄))",
    re.IGNORECASE,
)
MOBILE_LINE = 120  # characters; a longer line says more than where it was written


def kinds_of(lines: Sequence[str]) -> list[Kind]:
    """The kind of each line."""
    kinds: list[Kind] = []
    while len(kinds) < len(lines):
        place = len(kinds)
        if count := wrote(lines, place):
            kinds += [Kind.WROTE] * count
        elif count := header(lines, place):
            kinds += [Kind.HEADER] * count
        else:
            kinds.append(simple_kind(lines[place]))
    return kinds


def simple_kind(line: str) -> Kind:
    if not line or line.isspace():
        return Kind.BLANK
    if QUOTE.match(line):
        return Kind.QUOTE
    return Kind.RULE if RULE.fullmatch(line[:LINE]) else Kind.TEXT


def wrote(lines: Sequence[str], place: int) -> int:
    """How many lines, from this one on, say who wrote what follows, and when."""
    first = lines[place][:LINE]
    if not may_begin(first):
        return 0
    so_far: list[str] = []
    for line in lines[place : place + SPAN]:
        if so_far and not may_go_on(so_far, line):
            break
        so_far.append(line[:LINE])
        if says_who_wrote(so_far):
            return 0 if begins_later(so_far) else len(so_far)
    return dated(lines, place)


def may_begin(line: str) -> bool:
    """Whether a line can be the first of them: it names a date, a person or what they did."""
    if not line or line.isspace() or QUOTE.match(line) or line.lstrip().startswith("<"):
        return False
    if line.find(">") >= 0 and not 0 <= line.find("<") < line.find(">"):
        return False  # the second half of an address
    return "@" in line or VERB.search(line) is not None or any(map(str.isdigit, line))


def may_go_on(so_far: list[str], line: str) -> bool:
    if not line or line.isspace():
        return so_far[-1].strip() != ""
    if not so_far[-1].strip():
        return line.lstrip().startswith("<")  # some programs put an address between blank lines
    return not QUOTE.match(line) or "".join(so_far).count("<") > "".join(so_far).count(">")


def says_who_wrote(lines: list[str]) -> bool:
    text = " ".join(lines)
    if not END.search(text[-60:]):
        return False
    return bool(SENT_BY.match(text) or (VERB.search(text) and ("@" in text or DATE.search(text))))


def begins_later(lines: list[str]) -> bool:
    """Whether the first line is only what was written before: without it the others still say it all."""
    is_opened = OPENING.match(lines[0]) is not None
    for place in range(1, len(lines)):
        may = OPENING.match(lines[place]) is not None if is_opened else may_begin(lines[place])
        if may and says_who_wrote(lines[place:]):
            return True
    return False


def dated(lines: Sequence[str], place: int) -> int:
    first = lines[place][:LINE]
    if not DATED.match(first):
        return 0
    return 2 if first.count("<") > first.count(">") and place + 1 < len(lines) else 1


def header(lines: Sequence[str], place: int) -> int:
    """How many lines, from this one on, are the header of another mail, or announce one."""
    line = lines[place][:LINE]
    if FORWARDED.match(line):
        return 1
    if field_name(line) not in SENDER:
        return 0
    names = []
    last = 0
    for count, below in enumerate(lines[place + 1 : place + HEADER_SPAN], 1):
        name = field_name(below[:LINE])
        if name is not None:
            names.append(name)
            last = count
        elif not below.strip() or count - last > 1:  # one line may go on in the next
            break
    return last + 1 if len(names) >= 2 and not SUBJECT.isdisjoint(names) else 0


def field_name(line: str) -> str | None:
    found = FIELD.match(line)
    return found[1].strip().lower() if found else None
