# Flags of our own objects: nginx has no CXXFLAGS. Nothing is exported but what nginx looks up.
# -Wmaybe-uninitialized: g++ 12 sees ghosts in std::optional.
# LLM_CXXFLAGS: for builds with sanitizers.
cat << END >> $NGX_MAKEFILE

$NGX_OBJS/addon/%.o: CFLAGS += -std=c++20 -fvisibility=hidden -fvisibility-inlines-hidden -fno-rtti \
    -Wextra -Wshadow -Wno-missing-field-initializers -Wno-maybe-uninitialized -MMD -MP $LLM_CXXFLAGS
-include \$(wildcard $NGX_OBJS/addon/*/*.d)
END
