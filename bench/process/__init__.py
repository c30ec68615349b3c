"""The processes of a run: started, watched, and ended by their pid whatever happens to the harness.

What belongs here: how any program of ours starts and ends. Not: what a program does. Floors: may use the
modules beside this folder.
"""
