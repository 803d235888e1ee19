"""`./pants run bench:agent_memory`: what a queue agent has in memory while tasks pass."""

from darkroom_bench.agent_memory import main

if __name__ == "__main__":
    main()
