"""What two nodes say to each other whichever their role: transfers, tasks, echoes (specification 2.1, 3)."""
