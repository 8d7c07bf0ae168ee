//! Process tests over real sockets.
