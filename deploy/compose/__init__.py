"""What deploy/compose.yaml needs beside the image: secrets, made when it is started for the first time."""
