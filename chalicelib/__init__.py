"""Parent Portal's own code.

Imports point one way and never sideways between web, admin and workers:

    app -> web, admin, workers -> domain -> storage -> leaves

The leaves are errors, policy, settings, crypto, texts, logs and clock:
any layer may use them, they know none of their callers.
"""
