"""The tables and AWS calls: knows PynamoDB and boto3, no rules; returns frozen values, never Models."""
