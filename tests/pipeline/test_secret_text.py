"""Names and values that are secrets, and those of everyday settings that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.secret_text import holds_secret, is_secret_name, redacted

SECRET_NAMES = (
    "DB_PASSWORD PASSWD MYSQL_PWD SIGNING_KEY signingKey DATABASE_URL REDIS_URL "
    "MONGO_URI SENTRY_DSN POSTGRES_DSN GITHUB_TOKEN GITHUBTOKEN AWS_ACCESS_KEY_ID "
    "SECRET_KEY_BASE AWS_SECRET_ACCESS_KEY aws-secret-access-key API_KEY apiKey APIKEY "
    "ENCRYPTION_KEYS "
    "SQLALCHEMY_DATABASE_URI CONNECTION_STRING DB_CONNECTION_STRING BASIC_AUTH JWT "
    "PRIVATE_KEY SSH_PRIVATE SLACK_WEBHOOK GOOGLE_CREDENTIALS STORE_KEY SAS_TOKEN "
    "celery_broker_url PGPASSWORD"
).split()
PLAIN_NAMES = (
    "TF_CPP_MIN_LOG_LEVEL KERAS_BACKEND TOKENIZERS_PARALLELISM OMP_NUM_THREADS REGION "
    "HTTPS_PROXY INPUT_URL KEYBOARD MAX_TOKENS PUBLIC_KEY PATH COMPASS BYPASS_CACHE "
    "AUTHOR MONKEY runner direct_num_workers executor_class_path "
    "json_serialized_inputs_spec_args PYTHONUNBUFFERED SERVICE_ACCOUNT_EMAIL"
).split()
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
SECRET_VALUES = (
    "https://user:hunter2@host/x",
    "postgresql+psycopg2://u:p@db:5432/x",
    "redis://:hunter2@cache/0",
    "https://ghp-token@example.com/repository.git",
    "Server=db;User Id=sa;Password=hunter2;",
    "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=abc123==",
    "https://a.example/x?X-Amz-Signature=0123abc",
    "https://a.example/x?sv=1&sig=abc%3D",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    JWT,
    f"Bearer {JWT}",
    "AKIA" + "ABCDEFGHIJKLMNOP",
    "AIza" + "a" * 35,
    "ghp_" + "a" * 36,
    "github_pat_" + "a" * 30,
    "xoxb-1234567890-abc",
    "sk_live_" + "a" * 24,
    "sk-" + "proj-" + "a" * 40,
    "hf_" + "a" * 34,
    '{"type": "service_account", "private_key": "-----BEGIN PRIVATE KEY-----\\nM"}',
)
PLAIN_VALUES = (
    "tensorflow",
    "1",
    "https://example.com/a@b",
    "gs://bucket/folder",
    "registry.example.com/two-tower:1@sha256:" + "0" * 64,
    "/mnt/two-tower/data/2026-03-01",
    "us-east-1",
    "a sentence about a password and a key",
    "user@example.com",
    "task-scheduling-of-something-quite-long",
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_name_that_announces_a_secret_is_one(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_names_of_everyday_settings_are_none(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize("value", SECRET_VALUES)
def test_a_value_of_the_form_of_a_secret_is_one(value: str) -> None:
    assert holds_secret(value)
    assert holds_secret(f"a text with {value} in it")
    assert not holds_secret(redacted(value))


@pytest.mark.parametrize("value", PLAIN_VALUES)
def test_everyday_values_are_none(value: str) -> None:
    assert not holds_secret(value)
    assert redacted(value) == value


def test_a_private_key_is_redacted_whole() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMIIE\nabc\n-----END PRIVATE KEY-----"
    assert redacted(f"before {key} after") == "before *** after"


_WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789%", min_size=1, max_size=12)


@given(st.sampled_from(["https", "amqp", "git+ssh"]), _WORDS, _WORDS, st.text())
def test_no_address_with_credentials_passes(
    scheme: str, user: str, password: str, around: str
) -> None:
    address = f"{scheme}://{user}:{password}@host/x"
    assert holds_secret(around + " " + address)
    assert password + "@host" not in redacted(f"{around} {address}")
