"""Gates: named Great Expectations suites over staged batches, with quarantine, results and data docs.

`gate.load_gate` reads config/gates/<name>.yaml, `run.judge` judges batches by it. docs/gates.md shows how
to change or add one. Great Expectations takes seconds to import, so only functions import it, never this
package.
"""
