"""What is typed: glore-train, glore-test, glore-infer; tools/ has the same."""
