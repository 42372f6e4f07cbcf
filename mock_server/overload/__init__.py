"""The overload model: workers and their queue, admission, adaptive limits. Pure and public: the clock is an argument."""
