"""Parent Portal's own code.

Imports point one way and never sideways between web, admin and workers:

    app -> web, admin, workers -> domain -> storage -> errors, policy, settings, crypto, texts, logs

The last six are leaves: any layer may use them, they know none of their callers.
"""
