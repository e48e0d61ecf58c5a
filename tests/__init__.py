"""Tests of Nightferry; the folders mirror the packages they test."""
