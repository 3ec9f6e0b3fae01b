"""Notes in the admin."""

from django.contrib import admin

from sample_project.models import Note


@admin.register(Note)
class NoteAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs only
    """Who noted what."""

    list_display = ("text", "user", "created_at")
    list_select_related = ("user",)
