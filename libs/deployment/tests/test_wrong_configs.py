"""Stacks and texts of files that are refused, each with its message."""

from __future__ import annotations

import pytest
from golden_config import GOLDEN, GONE, refused

from deployment.check import check

BUCKET = (
    "arn:<partition>:s3:::<bucket>, partition aws, aws-cn or aws-us-gov, "
    "nothing after the bucket's name"
)
STACK = "3 to 28 letters, digits and dashes, beginning with a letter and not ending with a dash"
TEXT = "text (in quotes), numbers, true, false, lists and mappings"

# where, what is put there, what is said
WRONG: list[tuple[str, object, str]] = [
    ("stackName", None, f"stackName: found nothing; allowed: {STACK}"),
    ("stackName", GONE, f"stackName: found nothing; allowed: {STACK}"),
    ("stackName", "a", f"stackName: found 'a'; allowed: {STACK}"),
    ("stackName", "my_stack", f"stackName: found 'my_stack'; allowed: {STACK}"),
    ("stackName", 42, f"stackName: found 42 (a number); allowed: {STACK}, in quotes"),
    (
        "stackName",
        "amzn-s3-demo-x",
        "stackName: found 'amzn-s3-demo-x'; allowed: "
        "a name that does not begin with xn--, sthree-, amzn-s3-demo-",
    ),
    (
        "stackName",
        "a" * 29,
        f"stackName: found 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaa'; allowed: {STACK}",
    ),
    ("modelBucketArn", GONE, f"modelBucketArn: found nothing; allowed: {BUCKET}"),
    (
        "modelBucketArn",
        "model-bucket",
        f"modelBucketArn: found 'model-bucket'; allowed: {BUCKET}",
    ),
    (
        "modelBucketArn",
        "arn:aws:s3:::bucket/folder",
        f"modelBucketArn: found 'arn:aws:s3:::bucket/folder'; allowed: {BUCKET}",
    ),
    (
        "modelBucketArn",
        "arn:aws-cn:s3:::model-bucket",
        "modelBucketArn: found 'arn:aws-cn:s3:::model-bucket', a bucket of "
        "another partition than region us-east-1; allowed: "
        "arn:aws:s3:::model-bucket",
    ),
    (
        "modelBucketArn",
        "arn:aws:s3:::a..b",
        "modelBucketArn: found 'arn:aws:s3:::a..b'; allowed: "
        "the ARN of a bucket's name as S3 has it",
    ),
    (
        "stackname",
        "x",
        "stackname: found an unknown key; allowed: "
        "APIGW, modelBucketArn, modelsRuntime, nodePrices, stackName (did you mean "
        "stackName?)",
    ),
    (
        "APIGW.throttle.rateLimits",
        3,
        "APIGW.throttle.rateLimits: found an unknown key; allowed: "
        "burstLimit, rateLimit (did you mean rateLimit?)",
    ),
    (
        "APIGW.throttle.rateLimit",
        "30",
        "APIGW.throttle.rateLimit: found '30' (text); allowed: a whole number from 1 to 10000",
    ),
    (
        "APIGW.throttle.burstLimit",
        0,
        "APIGW.throttle.burstLimit: found 0; allowed: a whole number from 1 to 5000",
    ),
    (
        "APIGW.stageName",
        "my stage",
        "APIGW.stageName: found 'my stage'; allowed: "
        "1 to 128 letters, digits, dashes and underscores",
    ),
    ("APIGW", [], "APIGW: found a list with 0 entries; allowed: a mapping"),
]


@pytest.mark.parametrize(("where", "value", "message"), WRONG)
def test_wrong_value_is_one_sentence_with_its_key(
    where: str, value: object, message: str
) -> None:
    assert refused(where, value) == [message]


# what is read, at which line it is refused, what is said
UNREADABLE: list[tuple[str | bytes, int | None, str]] = [
    ("", None, "found nothing; allowed: a mapping with stackName and so on"),
    ("just text", 1, "found 'just text'; allowed: a mapping with stackName and so on"),
    (
        "- a\n- b\n",
        1,
        "found a list with 2 entries; allowed: a mapping with stackName and so on",
    ),
    (
        "stackName: a: b\n",
        1,
        "found no readable YAML (line 1, column 13: mapping values are not allowed here); "
        "allowed: one YAML document",
    ),
    (
        "stackName: [a\nmodelBucketArn: b\n",
        2,
        "found no readable YAML (line 2, column 15: expected ',' or ']', but got ':'); "
        "allowed: one YAML document",
    ),
    (
        "a: 1\n---\nb: 2\n",
        2,
        "found no readable YAML (line 2, column 1: but found another document); "
        "allowed: one YAML document",
    ),
    (
        "a: *missing\n",
        1,
        "found no readable YAML (line 1, column 4: found undefined alias 'missing'); "
        "allowed: one YAML document",
    ),
    (b"stackName: \xff\n", None, "found no UTF-8 at byte 11; allowed: text in UTF-8"),
    ("#" * 300_000, None, "found more than 262144 bytes; allowed: a smaller file"),
    (
        "[" * 50 + "]" * 50,
        1,
        "found no readable YAML (line 1, column 41: more than 40 levels); "
        "allowed: one YAML document",
    ),
    (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
            for before, name in zip("abcde", "bcdef", strict=True)
        ),
        1,
        "found too many values, aliases counted; allowed: at most 20000 values in 40 levels",
    ),
    (
        "a: &a {b: *a}\n",
        1,
        "found too many values, aliases counted; allowed: at most 20000 values in 40 levels",
    ),
]


@pytest.mark.parametrize(("text", "line", "message"), UNREADABLE)
def test_text_that_is_no_configuration_is_one_sentence(
    text: str | bytes, line: int | None, message: str
) -> None:
    (error,) = check(text).errors

    assert (error.text, error.line) == (message, line)


# a line that replaces the second, what is said
MISREAD = [
    (
        "stackName: other",
        "stackName: found the key twice, at lines 2 and 3; allowed: each key once",
    ),
    (
        "1: x",
        "found the key 1 at line 3, which is no text; "
        "allowed: text as a key, in quotes if it looks like something else",
    ),
    ("stageName: 2024-01-01", f"stageName: found '2024-01-01', a date; allowed: {TEXT}"),
    (
        "stageName: .nan",
        f"stageName: found '.nan', a YAML value of kind number; allowed: {TEXT}",
    ),
    (
        "stageName: !!binary aGk=",
        f"stageName: found 'aGk=', a YAML value of kind binary; allowed: {TEXT}",
    ),
    (
        "stageName: !secret x",
        f"stageName: found 'x', a YAML value of kind !secret; allowed: {TEXT}",
    ),
]


@pytest.mark.parametrize(("line", "message"), MISREAD)
def test_what_yaml_makes_of_a_line_is_refused_at_that_line(line: str, message: str) -> None:
    lines = GOLDEN.read_text().splitlines()
    lines.insert(2, line)

    errors = check("\n".join(lines), "us-east-1").errors

    assert message in [error.text for error in errors]
    assert {error.line for error in errors} <= {1, 2, 3}
