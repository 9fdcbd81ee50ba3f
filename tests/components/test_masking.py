"""No secret is shown, and what is none stays."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_imbalance.components import masking
from tfx_imbalance.components.masking import is_secret, mask, mask_data, secrets_in

SECRET = "hunter2+/Abc=="


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    masking._known.clear()


@pytest.mark.parametrize(
    "name",
    [
        "--s3_secret_access_key",
        "--s3_access_key_id",
        "--azure_connection_string",
        "--password",
        "--API-KEY",
        "--oauth_token",
        "--client_credential",
        "--private_key",
        "accountKey",
    ],
)
@pytest.mark.parametrize("form", ["option", "list", "pair", "json", "repr"])
def test_what_a_name_calls_secret_is_masked(name: str, form: str) -> None:
    option = name if name.startswith("--") else f"--{name}"
    text = {
        "option": f"started with {option}={SECRET} --runner=Flink",
        "list": f"options: {['--a=1', f'{option}={SECRET}', '--runner=Flink']}",
        "pair": f"options: {['--a=1', option, SECRET, '--runner=Flink']}",
        "json": json.dumps({name.lstrip("-"): SECRET, "runner": "--runner=Flink"}),
        "repr": repr({name.lstrip("-"): SECRET, "runner": "--runner=Flink"}),
    }[form]
    shown = mask(text)
    assert SECRET not in shown and "hunter2" not in shown
    assert "***" in shown and "--runner=Flink" in shown


@pytest.mark.parametrize(
    "text",
    [
        f"mysql://root:{SECRET.replace('/', '')}@host:3306/db",
        f"https://a.blob.core.windows.net/c/f?sv=1&sig={SECRET}",
        f"https://b.s3.amazonaws.com/k?X-Amz-Signature={SECRET}&x=1",
        f"AWS_SECRET_ACCESS_KEY={SECRET} and more",
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRET};EndpointSuffix=x",
        f"Authorization: Bearer {SECRET}",
        f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----",
        f'error near password="{SECRET}"',
    ],
)
def test_addresses_and_assignments_are_masked(text: str) -> None:
    shown = mask(text)
    assert "hunter2" not in shown and "***" in shown


@pytest.mark.parametrize(
    "text",
    [
        "gate auc_pr on slice token=abc: 0.4",
        "slice has_private_insurance=yes has 12 rows",
        "metadata.password: unknown key; did you mean 'password_env'?",
        "metadata.password_env: the environment has no variable 'DB_PASSWORD'",
        "abfs://container@account.dfs.core.windows.net/data",
        "s3://bucket/private/token/data.csv",
        "10:30 at gs://bucket/a:b/c",
        "column 'private': found 'x'",
        "--password_env=DB_PASSWORD --runner=DirectRunner",
        '{"Private": 3, "workclass": "Private"}',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


def test_data_are_masked_by_key_option_and_address() -> None:
    data = {
        "beam": {
            "default": ["--s3_secret_access_key=hunter2", "--password", "hunter2", "--runner=x"],
            "nodes": {"Transform": ("--azure_connection_string=AccountKey=hunter2;b=c",)},
        },
        "class_weights": {"explicit": {"Private": 2.0}},
        "metadata": {"password_env": "DB", "host": "mysql://u:hunter2@h"},
        "api_key": "hunter2",
        "seed": 0,
    }
    masked = mask_data(data)
    assert "hunter2" not in json.dumps(masked)
    assert masked["beam"]["default"] == [
        "--s3_secret_access_key=***",
        "--password",
        "***",
        "--runner=x",
    ]
    assert masked["class_weights"] == data["class_weights"]
    assert masked["metadata"] == {"password_env": "DB", "host": "mysql://u:***@h"}
    assert set(secrets_in(data)) == {"hunter2", "AccountKey=hunter2;b=c"}


def test_a_known_secret_is_masked_wherever_it_stands() -> None:
    masking.remember("hunter2", "ab")
    assert mask("Connection refused for hunter2@ab") == "Connection refused for ***@ab"


def test_names_that_say_where_a_secret_is_are_no_secrets() -> None:
    assert not is_secret("password_env") and not is_secret("--token_file")
    assert is_secret("PASSWORD") and is_secret("s3-access-key")


@given(
    st.sampled_from(["--db_password", "--token", "--s3_secret_access_key"]),
    st.text(
        st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\""), min_size=6
    ),
)
def test_any_value_of_a_secret_option_is_masked(name: str, value: str) -> None:
    rest = "--runner=FlinkRunner --parallelism=2"
    assert mask(f"{name}={value} {rest}") == f"{name}=*** {rest}"
    assert mask_data([f"{name}={value}", rest]) == [f"{name}=***", rest]
    assert list(secrets_in([f"{name}={value}"])) == [value]
