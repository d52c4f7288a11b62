"""SBI calls with any registers, on firmware and under each technique."""
