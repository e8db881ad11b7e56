"""Tests of gates, quarantine and data docs."""
