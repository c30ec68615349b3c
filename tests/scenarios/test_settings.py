from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.settings import Settings, SettingsError


def test_every_setting_has_a_default() -> None:
    settings = Settings.from_env({})
    assert (settings.smtp_host, settings.smtp_port) == ("127.0.0.1", 8025)
    assert settings.database_url == "sqlite:///queue-or-task.db"
    assert settings.dependency_timeout_s == 5


@pytest.mark.parametrize("url", ["", "localhost:25", "http://localhost:25", "smtp://localhost", "smtp://h:p"])
def test_a_mail_server_that_cannot_be_addressed_is_named_with_what_is_expected(url: str) -> None:
    with pytest.raises(SettingsError, match=r"SMTP_URL is .*: expected smtp://host:port"):
        Settings.from_env({"SMTP_URL": url})


@pytest.mark.parametrize("text", ["", "soon", "0", "-1", "nan", "inf"])
def test_a_timeout_that_is_no_time_is_named_with_what_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match=r"DEPENDENCY_TIMEOUT_S is .*: expected a number of seconds"):
        Settings.from_env({"DEPENDENCY_TIMEOUT_S": text})


@given(st.dictionaries(st.sampled_from(["SMTP_URL", "DEPENDENCY_TIMEOUT_S", "CRM_URL"]), st.text()))
def test_any_environment_gives_settings_or_a_settings_error(env: dict[str, str]) -> None:
    try:
        settings = Settings.from_env(env)
    except SettingsError as error:
        assert "expected" in str(error)  # noqa: PT017 - either outcome is right
        return
    assert settings.dependency_timeout_s > 0
