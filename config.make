# Flags of our own objects: nginx has no CXXFLAGS. Nothing is exported but what nginx looks up.
# -Wmaybe-uninitialized: g++ 12 sees ghosts in std::optional.
# LLM_CXXFLAGS: for builds with sanitizers. The command table compares functions at compile time,
# which g++ does not do while these checks are on.
llm_table_cxxflags=
case "$LLM_CXXFLAGS" in
    *-fsanitize=undefined*)
        llm_table_cxxflags=-fno-sanitize=null,nonnull-attribute,returns-nonnull-attribute
        ;;
esac

cat << END >> $NGX_MAKEFILE

$NGX_OBJS/addon/%.o: CFLAGS += -std=c++20 -fvisibility=hidden -fvisibility-inlines-hidden -fno-rtti \
    -Wextra -Wshadow -Wno-missing-field-initializers -Wno-maybe-uninitialized -MMD -MP $LLM_CXXFLAGS
$NGX_OBJS/addon/conf/directives.o: CFLAGS += $llm_table_cxxflags
-include \$(wildcard $NGX_OBJS/addon/*/*.d)
END
