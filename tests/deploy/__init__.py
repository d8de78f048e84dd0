"""What deploys the platform: the chart, and the commands that verify a deployment."""
