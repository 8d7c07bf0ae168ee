//! ModelRoute and ProviderKey, the model catalogue, and the pure compile step from objects to the routing table.
