//! What each process needs: logs, metrics registry, admin server, signals, drain, task set, clock.
