"""The kinds of faults, one a module, and which of them hit which request. Pure and public: no clock, socket or thread."""
