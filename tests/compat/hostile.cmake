compat_test(compat_hostile hostile.sh compat 240)
