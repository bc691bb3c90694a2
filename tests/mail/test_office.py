"""A brand and its influencers write to each other by real mail: each mail is in the right thread, live, once."""

from __future__ import annotations

import pytest

from tests.mail.office import ADA, BOB, BRAND, STRANGER, House, Office, a_mail, answer_to, parsed

pytestmark = pytest.mark.usefixtures("quiet")

LIVE = """subscription($since: String) { messageAdded(since: $since) {
    message { text direction thread { id } } } }"""
CHANGED = """subscription($id: ID!, $since: String) { threadChanged(threadId: $id, since: $since) {
    kind message { id delivery { state } } } }"""


async def test_what_is_sent_arrives_and_the_answer_comes_back(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    sent = await office.send(ada, "How are you?")
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    assert mail.recipients == [ADA]
    assert parsed(mail.raw)["From"] == f"The Brand <{BRAND}>"
    office.deliver(answer_to(mail.raw, "Fine, and you?").as_bytes())
    first, answer = await office.until_messages(ada, 2)
    assert (answer["direction"], answer["channel"], answer["text"]) == ("INBOUND", "EMAIL", "Fine, and you?")
    assert "How are you?" in answer["quotedText"] and answer["unread"]
    assert first["delivery"]["state"] == "DELIVERED"
    again = await office.send(ada, "Fine too.", subject=None)
    await office.until_state(ada, again["id"], "SENT")
    second = parsed((await office.smtp.received(2))[1].raw)
    assert second["Subject"] == "Re: Hello"
    answered = str(parsed(answer_to(mail.raw, "").as_bytes())["References"])
    assert str(second["References"]).split()[0] == answered
    assert str(second["References"]).split()[-1] == str(second["In-Reply-To"])


async def test_each_message_is_told_live_and_once(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    async with office.brand.viewer.subscription(LIVE) as live:
        for number in range(5):
            office.deliver(a_mail(text=f"number {number}").as_bytes())
        told = [(await live.data())["message"] for _ in range(5)]
    assert [each["text"] for each in told] == [f"number {number}" for number in range(5)]
    assert {each["thread"]["id"] for each in told} == {ada}


async def test_how_far_a_mail_has_come_is_told_live(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    since = await office.brand.position()
    async with office.brand.viewer.subscription(CHANGED, id=ada, since=since) as live:
        sent = await office.send(ada)
        told = [await live.data() for _ in range(3)]
    assert [each["kind"] for each in told] == ["MESSAGE_ADDED", "MESSAGE_UPDATED", "MESSAGE_UPDATED"]
    assert {each["message"]["id"] for each in told} == {sent["id"]}
    assert told[-1]["message"]["delivery"]["state"] == "SENT"


async def test_what_the_brand_writes_in_its_own_program_is_the_brands(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(BRAND, ADA, text="Written elsewhere").as_bytes(), "Sent")
    [message] = await office.until_messages(ada, 1)
    assert (message["direction"], message["text"], message["unread"]) == ("OUTBOUND", "Written elsewhere", False)
    assert message["author"]["name"] == "Member"


async def test_who_says_to_be_the_brand_is_not(office: Office) -> None:
    """What comes in with the brand's own address as its sender was written by anybody."""
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(BRAND, ADA, text="Send the money to this account").as_bytes())
    office.deliver(a_mail(text="real").as_bytes())
    assert [each["text"] for each in await office.until_messages(ada, 1)] == ["real"]


async def test_a_mail_of_ours_is_filed_once_and_known_again(office: Office) -> None:
    """It is put into the Sent folder, as this server does not do so itself, and is no second message there."""
    ada = await office.person("Ada", ADA)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    await office.until(lambda: len(office.dovecot.mails(office.account, "Sent")) == 1)
    [filed] = office.dovecot.mails(office.account, "Sent")
    assert filed.replace(b"\r\n", b"\n") == mail.raw.replace(b"\r\n", b"\n")
    office.deliver(a_mail(text="after it").as_bytes())
    await office.until_messages(ada, 2)
    await office.check()
    assert len(await office.messages(ada)) == 2
    assert len(office.dovecot.mails(office.account, "Sent")) == 1


async def test_strangers_are_left_where_they_are(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(STRANGER, text="Buy this").as_bytes())
    office.deliver(a_mail(BRAND, STRANGER, text="A private matter").as_bytes(), "Sent")
    office.deliver(a_mail(text="Hello").as_bytes())
    assert [each["text"] for each in await office.until_messages(ada, 1)] == ["Hello"]
    found = await office.check()
    assert (found["compared"], found["missing"]) == (3, 0)


async def test_mail_from_before_it_was_connected_is_left_where_it_is(house: House) -> None:
    async with house.office() as office:
        ada = await office.person("Ada", ADA)
        office.deliver(a_mail(text="history").as_bytes())
        office.deliver(a_mail(BRAND, ADA, text="history of ours").as_bytes(), "Sent")
        await office.connect()
        await office.check()
        office.deliver(a_mail(text="news").as_bytes())
        assert [each["text"] for each in await office.until_messages(ada, 1)] == ["news"]


async def test_mail_that_came_while_it_was_disconnected_is_history(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="before").as_bytes())
    await office.until_messages(ada, 1)
    await office.brand.member.mutate("disconnectMailbox", "position", mailboxId=office.mailbox)
    office.deliver(a_mail(text="meanwhile").as_bytes())
    before = office.mailbox
    await office.connect()
    assert office.mailbox == before
    await office.check()
    office.deliver(a_mail(text="after").as_bytes())
    assert [each["text"] for each in await office.until_messages(ada, 2)] == ["before", "after"]


async def test_nothing_on_the_server_is_marked_as_seen(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail().as_bytes())
    await office.until_messages(ada, 1)
    await office.check()
    for path in office.dovecot.files(office.account):
        assert "S" not in path.name.partition(":2,")[2]


async def test_any_address_of_a_person_leads_to_their_thread(office: Office) -> None:
    ada = await office.person("Ada", ADA, "Ada.Private@People.test")
    office.deliver(a_mail("ada.private@people.test", text="from home").as_bytes())
    [message] = await office.until_messages(ada, 1)
    assert message["senderAddress"] == "ada.private@people.test"
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    assert mail.recipients == ["Ada.Private@People.test"], "it goes to where they wrote from"


async def test_an_automatic_reply_raises_nothing(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    office.deliver(a_mail(text="I am away", Auto_Submitted="auto-replied").as_bytes())
    [message] = await office.until_messages(ada, 1)
    assert message["automatic"] and not message["unread"]
    count = (await office.brand.viewer.run("{ unreadCount { threads } }"))["unreadCount"]
    assert count == {"threads": 0}


async def test_a_reply_is_in_the_campaign_that_it_is_about(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    admin = office.brand.admin
    spring = (await admin.mutate("createCampaign", "campaign { id }", name="Spring"))["campaign"]["id"]
    summer = (await admin.mutate("createCampaign", "campaign { id }", name="Summer"))["campaign"]["id"]
    about_spring = await office.send(ada, "Spring?", campaignId=spring)
    await office.until_state(ada, about_spring["id"], "SENT")
    about_summer = await office.send(ada, "Summer?", campaignId=summer)
    await office.until_state(ada, about_summer["id"], "SENT")
    mails = await office.smtp.received(2)
    office.deliver(answer_to(mails[0].raw, "Spring!").as_bytes())
    office.deliver(a_mail(text="By the way").as_bytes())
    found = await office.until_messages(ada, 4)
    assert [(each["campaign"]["id"], each["campaignMatch"]) for each in found[2:]] == [
        (spring, "REFERENCES"), (summer, "LATEST"),
    ]  # fmt: skip


async def test_attachments_and_other_alphabets_come_through(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    mail = a_mail(subject="Größe 😀 данные", text="Zażółć gęślą jaźń\n日本語")
    mail.add_attachment(b"%PDF-1.7 ...", maintype="application", subtype="pdf", filename="Übersicht.pdf")
    office.deliver(mail.as_bytes())
    [message] = await office.until_messages(ada, 1)
    assert message["subject"] == "Größe 😀 данные"
    assert message["text"].strip() == "Zażółć gęślą jaźń\n日本語"
    [attachment] = message["attachments"]
    assert (attachment["name"], attachment["contentType"]) == ("Übersicht.pdf", "application/pdf")
    assert (await office.fetch(attachment["url"])).content == b"%PDF-1.7 ..."


async def test_files_that_were_uploaded_go_with_a_mail(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    uploaded = await office.upload("briefing.txt", b"Read this first.")
    sent = await office.send(ada, html="<p>With <b>love</b></p>", attachmentIds=[uploaded], cc=[BOB])
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    assert sorted(mail.recipients) == [ADA, BOB]
    content = parsed(mail.raw)
    assert str(content["Cc"]) == BOB
    [file] = content.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("briefing.txt", "Read this first.")
    html = content.get_body(("html",))
    assert html is not None and "<b>love</b>" in html.get_content()
    [message] = await office.messages(ada)
    assert [(each["address"], each["kind"], each["delivery"]["state"]) for each in message["recipients"]] == [
        (ADA, "TO", "SENT"), (BOB, "CC", "SENT"),
    ]  # fmt: skip


async def test_an_inline_image_is_shown_from_here(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    mail = a_mail(text="see the picture")
    mail.add_alternative('<p>see <img src="cid:pic@x"></p><img src="http://127.0.0.1:9/track.png">', subtype="html")
    png = b"\x89PNG\r\n\x1a\n" + bytes(40)
    mail.get_payload()[1].add_related(png, "image", "png", cid="<pic@x>")  # type: ignore[union-attr,index]
    office.deliver(mail.as_bytes())
    [message] = await office.until_messages(ada, 1)
    [image] = message["attachments"]
    assert image["isInline"] and image["contentId"] == "pic@x"
    assert image["url"] in message["html"].replace("&amp;", "&")
    assert message["hasRemoteImages"] and ' src="http://127.0.0.1:9' not in message["html"]


async def test_a_bounce_changes_the_mail_that_it_is_about(office: Office) -> None:
    ada = await office.person("Ada", ADA)
    sent = await office.send(ada)
    await office.until_state(ada, sent["id"], "SENT")
    [mail] = await office.smtp.received()
    office.deliver(bounce_of(mail.raw, ADA))
    message = await office.until_state(ada, sent["id"], "BOUNCED")
    assert "5.1.1" in message["delivery"]["detail"]
    assert len(await office.messages(ada)) == 1


def bounce_of(raw: bytes, recipient: str) -> bytes:
    """As RFC 3464 has it."""
    head = raw.partition(b"\r\n\r\n")[0].decode()
    return f"""From: Mail Delivery System <mailer-daemon@mx.test>
To: {BRAND}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I am sorry.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

Final-Recipient: rfc822; {recipient}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 Nobody here

--b
Content-Type: text/rfc822-headers

{head}

--b--
""".encode()
