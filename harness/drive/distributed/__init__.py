"""Workers on other machines: joining, clocks, journals and metrics, all over Locust's own (encrypted) connection."""
