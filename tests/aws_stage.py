"""Makes what the functions find in AWS, from the file that is deployed (`.chalice/resources.yaml`).

Works on whatever the boto3 endpoint is: moto, DynamoDB Local (tables only).
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from chalice.package import YAMLTemplateSerializer

ROOT = Path(__file__).parent.parent
RESOURCES = ROOT / ".chalice" / "resources.yaml"
REGION = "us-east-1"
ACCOUNT = "123456789012"
MAIL_FROM = "portal@district.example"
PORTAL_URL = "http://portal.localhost:4566/"

# What create_table takes of a CloudFormation table; the rest (TTL, recovery, encryption) is read
# from the packaged template by tests/test_template.py.
_TABLE_PARTS = (
    "TableName",
    "BillingMode",
    "AttributeDefinitions",
    "KeySchema",
    "GlobalSecondaryIndexes",
)


@dataclass(frozen=True)
class AwsStage:
    """A stage that stands: the environment its functions get, and the names a test asks for."""

    environment: Mapping[str, str]
    mail_queue_url: str
    import_queue_url: str
    bucket: str


@functools.cache
def client(service: str) -> Any:
    """Return a boto3 client, made once: moto answers whichever stage is up, and making one is slow."""
    return boto3.client(service, REGION)


@functools.cache
def template() -> dict[str, Any]:
    """Return the resources file as data, intrinsics in their long form (`{"Fn::Sub": …}`)."""
    loaded: dict[str, Any] = YAMLTemplateSerializer().load_template(RESOURCES.read_text())
    return loaded


def resources(kind: str, *, stage: str = "local") -> dict[str, dict[str, Any]]:
    """Return the properties of every resource of a type, by logical id, names filled in."""
    return {
        logical_id: _filled(resource["Properties"], stage)
        for logical_id, resource in template()["Resources"].items()
        if resource.get("Type") == kind
    }


def create_tables(dynamodb: Any, *, stage: str = "local") -> list[str]:
    """Create every table of the stage with a boto3 DynamoDB client; return their names."""
    names = []
    for properties in resources("AWS::DynamoDB::Table", stage=stage).values():
        dynamodb.create_table(**{k: properties[k] for k in _TABLE_PARTS if k in properties})
        names.append(properties["TableName"])
    return names


def create_stage(*, stage: str = "local") -> AwsStage:
    """Create tables, queues, bucket, secret, sender and its configuration set of a stage."""
    create_tables(client("dynamodb"), stage=stage)
    sqs = client("sqs")
    urls = {
        logical_id: sqs.create_queue(QueueName=properties["QueueName"])["QueueUrl"]
        for logical_id, properties in resources("AWS::SQS::Queue", stage=stage).items()
    }
    s3 = client("s3")
    (bucket,) = (p["BucketName"] for p in resources("AWS::S3::Bucket", stage=stage).values())
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    (secret,) = (p["Name"] for p in resources("AWS::SecretsManager::Secret", stage=stage).values())
    secrets_manager = client("secretsmanager")
    made = secrets_manager.get_random_password(PasswordLength=64, ExcludePunctuation=True)
    secrets_manager.create_secret(Name=secret, SecretString=made["RandomPassword"])
    (sends_with,) = (
        p["Name"] for p in resources("AWS::SES::ConfigurationSet", stage=stage).values()
    )
    client("sesv2").create_email_identity(EmailIdentity=MAIL_FROM)
    client("sesv2").create_configuration_set(ConfigurationSetName=sends_with)
    return AwsStage(
        environment={
            "STAGE": stage,
            "PORTAL_URL": PORTAL_URL,
            "MAIL_FROM": MAIL_FROM,
            "MAIL_CONFIGURATION_SET": sends_with,
            "MAIL_QUEUE_URL": urls["MailQueue"],
            "IMPORT_QUEUE_URL": urls["ImportQueue"],
            "ROSTER_BUCKET": bucket,
            "HASH_SECRET_ID": secret,
        },
        mail_queue_url=urls["MailQueue"],
        import_queue_url=urls["ImportQueue"],
        bucket=bucket,
    )


def _filled(value: Any, stage: str) -> Any:
    """Return a value with `Fn::Sub` of the stage and the account resolved, deep."""
    if isinstance(value, list):
        return [_filled(one, stage) for one in value]
    if isinstance(value, dict):
        if set(value) == {"Fn::Sub"} and isinstance(value["Fn::Sub"], str):
            return value["Fn::Sub"].replace("${Stage}", stage).replace("${AWS::AccountId}", ACCOUNT)
        return {key: _filled(one, stage) for key, one in value.items()}
    return value
