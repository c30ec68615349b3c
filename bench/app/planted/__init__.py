"""Sides with known truth: fakes with a known fault, measured in the same way as a real side.

| side        | what it does                                                                |
|-------------|-----------------------------------------------------------------------------|
| truth-base  | the work, in tasks of the app's loop; the others are this one with a fault   |
| truth-delay | waits exactly 50 ms before each job                                          |
| truth-count | accepts every job, drops every 7th and does every 11th twice (77: dropped)   |
| truth-stall | blocks the app's loop for 1 s, once, right after job 20 is accepted          |
| truth-drift | syncs every 1.0005 s instead of every second: 500 ppm                        |

The app, services, load generator, ledger, blocks and measures are those of a real side.
`queue-or-task verify`, or `make verify-instrument`, compares what the harness reports with the table above.
"""
