"""Dovecot's configuration (2.3), for a server that one ordinary user runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from connect_inbox.demo.certificates import Certificate


@dataclass(frozen=True)
class TokenCheck:
    """Where access tokens are looked up (RFC 7662), with `https://id:secret@…` where that needs a login.

    The attribute of the answer must be the name of the user who logs in.
    """

    url: str
    username_attribute: str = "username"


@dataclass(frozen=True)
class Installation:
    folder: Path
    user: str
    group: str
    tls_port: int
    plain_port: int
    certificate: Certificate
    sent: str
    is_special_use: bool
    has_tokens: bool


def configuration(installation: Installation) -> str:
    """The file's text: nothing is chrooted, nobody is made to wait after a wrong password, and all is in one folder."""
    folder = installation.folder
    special_use = "special_use = \\Sent" if installation.is_special_use else ""
    return f"""\
protocols = imap
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
default_internal_user = {installation.user}
default_internal_group = {installation.group}
default_login_user = {installation.user}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_save_crlf = yes
mail_max_userip_connections = 100
ssl = yes
ssl_cert = <{installation.certificate.certificate_file}
ssl_key = <{installation.certificate.key_file}
disable_plaintext_auth = no
auth_failure_delay = 0
auth_username_format = %u
auth_mechanisms = plain{" xoauth2 oauthbearer" if installation.has_tokens else ""}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {installation.plain_port}
  }}
  inet_listener imaps {{
    port = {installation.tls_port}
  }}
}}
passdb {{
  driver = passwd-file
  mechanisms = plain
  args = {folder}/users
}}
{TOKENS.format(folder=folder) if installation.has_tokens else ""}
userdb {{
  driver = static
  args = uid={installation.user} gid={installation.group} home={folder}/mails/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox "{installation.sent}" {{
    auto = create
    {special_use}
  }}
}}
"""


TOKENS = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/tokens.conf
}}
"""


def token_configuration(check: TokenCheck) -> str:
    return f"""\
introspection_mode = post
introspection_url = {check.url}
username_attribute = {check.username_attribute}
active_attribute = active
active_value = true
"""
