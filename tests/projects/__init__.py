"""Projects that differ from the test project where migrations could care. They run in processes of their own."""
