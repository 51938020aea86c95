"""What a score's fit learns from batches."""


def fitted(fit, batches):
    """The reference that a fit has after all batches: triples of images, residuals and codes."""
    for batch in batches:
        fit.add(*batch)
    return fit.reference()
