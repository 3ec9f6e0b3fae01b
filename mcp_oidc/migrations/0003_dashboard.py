from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mcp_oidc', '0002_hourly_counts'),
    ]

    operations = [
        migrations.CreateModel(
            name='Dashboard',
            fields=[
            ],
            options={
                'verbose_name': 'dashboard',
                'verbose_name_plural': 'dashboard',
                'default_permissions': ('view',),
                'proxy': True,
                'indexes': [],
                'constraints': [],
            },
            bases=('mcp_oidc.event',),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(fields=['outcome', 'created_at'], name='mcp_oidc_event_outcome'),
        ),
    ]
