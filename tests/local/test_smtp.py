"""Mail sent to the local catcher is there to be read."""

import smtplib
from email.message import EmailMessage
from pathlib import Path

from tidewatch.core import processes
from tidewatch.local.smtp import LocalMail


def test_mail_lands_in_the_maildir_and_the_server_stops(tmp_path: Path) -> None:
    mail = LocalMail(tmp_path / "mail")
    mail.start()
    try:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = (
            "a@example.org",
            "b@example.org",
            "备份完成 sealed",
        )
        message.set_content("正文 body")
        with smtplib.SMTP("127.0.0.1", mail.port or 0) as smtp:
            smtp.send_message(message)
        [caught] = mail.messages()
        assert caught["To"] == "b@example.org"
        assert "正文" in caught.get_payload(decode=True).decode()  # type: ignore[union-attr]
        before = mail.daemon
        LocalMail(tmp_path / "mail").start()
        assert before is not None and processes.alive(before)
    finally:
        mail.stop()
    assert not processes.port_open(mail.port or 0)
