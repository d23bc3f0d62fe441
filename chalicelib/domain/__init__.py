"""The rules: knows no HTTP, no HTML, no boto3, no PynamoDB."""
