"""What a search chooses from: operations, cell graph, skeleton, one record."""
