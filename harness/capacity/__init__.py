"""How much server: the least of a resource with which a scenario meets its goal, searched in virtual time and confirmed by runs."""
