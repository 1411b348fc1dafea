"""The course edition: releases of the assignments, grading in a contained process, feedback in words."""
