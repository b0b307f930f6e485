//! The front end's end of the socket to MAX.
