"""Sides with known truth: fakes that do a known wrong, put through the same road as a real side.

| side        | what it does                                                                |
|-------------|-----------------------------------------------------------------------------|
| truth-base  | the work, in tasks of the app's loop; the others are this one and a wrong    |
| truth-delay | waits exactly 50 ms before each job                                          |
| truth-count | accepts every job, drops every 7th and does every 11th twice (77: dropped)   |
| truth-stall | blocks the app's loop for 1 s, once, right after it has taken job 20         |
| truth-drift | syncs every 1.0005 s instead of every second: 500 ppm                        |

The same app, world, generator, ledger, blocks and measures as for a real side. Nothing here starts or
measures one: it is a build, as the others are. `queue-or-task verify`, or `make verify-instrument`, holds
what the harness reports of these sides against the table above.
"""
