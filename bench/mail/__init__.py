"""Mail, beside programs that do nothing else: `python -m bench.mail [--mails N] [--sends N] [--json]`.

in         mails per second out of one mailbox of a real Dovecot, all of people who are known, taken apart, stored and
           committed; and the same of strangers, of which only the headers are read. Beside mbsync, which copies the
           mailbox into a Maildir, as it stands
live       from a mail's delivery on the server to a subscriber's socket, one at a time
out        mails per second out of the outbox to a real SMTP server, from the moment that they are queued until each is
           known to be sent. Beside a bare loop of aiosmtplib that sends the same mails over one connection

Dovecot and mbsync (Debian: dovecot-imapd, isync) are needed; everything is on this machine, over TLS for reading.
"""
