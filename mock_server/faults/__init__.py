"""The kinds of faults, one per module, and which of them hit which request. Pure and public: no clock, socket or thread."""
