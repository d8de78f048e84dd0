"""What `dragoman doctor` looks at, a file for each part of a deployment."""
