"""How an app is turned to run in this process, and turned back: patches, settings, remote control."""
