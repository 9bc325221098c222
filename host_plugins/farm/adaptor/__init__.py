"""The same worker as an adaptor of openjd-adaptor-runtime, for farms that prefer one to plain commands.

void-bridge-adaptor daemon start --connection-file F --init-data D     starts the server of the session
void-bridge-adaptor daemon run   --connection-file F --run-data D      makes the frames of one task
void-bridge-adaptor daemon stop  --connection-file F                   ends the server
"""
