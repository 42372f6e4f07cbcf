"""What is recorded while a run goes on: scrapes, worker metrics, processes and clocks; and the exchange with Prometheus."""
